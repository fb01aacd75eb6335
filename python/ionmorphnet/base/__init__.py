"""What every room stands on: errors, paths, files, arguments, units, devices, versions. Imports nothing above it."""
