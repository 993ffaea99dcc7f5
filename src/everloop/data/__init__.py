"""The data room: a table or file becomes a version that is named by its content.

``reading`` (anything -> ``pyarrow.Table``), ``identity`` (content hashes), ``statistics`` (schema, numbers),
``encoding`` (table <-> stored bytes), ``diff`` (what lies between versions), ``examples`` (tables to try).
"""
