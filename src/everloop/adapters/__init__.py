"""Adapters: one file or folder per outside thing, each the only way in to the library it speaks through."""
