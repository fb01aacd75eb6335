"""Reading and writing: imzML sections, their images and candidate channels; tables, h5ad and PNG files."""
