"""File contents: inline bytes, packs and chunks of large files."""

from airflow_pachy.pfs.content.hashing import hash_bytes
from airflow_pachy.pfs.content.reader import ContentReader
from airflow_pachy.pfs.content.writer import ContentWriter

__all__ = ["ContentReader", "ContentWriter", "hash_bytes"]
