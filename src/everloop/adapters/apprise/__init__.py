"""Apprise: the one package that imports the ``apprise`` library, which reaches e-mail, chats and pagers."""
