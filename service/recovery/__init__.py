"""After a crash: jobs settled at the start, files checked for damage, a lost database rebuilt; backups."""
