"""The fsspec file system of the scheme `pfs`: versioned files for Airflow's ObjectStoragePath, pandas and others."""
