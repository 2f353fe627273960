"""JSON as it goes over the wire: camelCase and enum names out, either case and enum numbers in; nowhere else."""
