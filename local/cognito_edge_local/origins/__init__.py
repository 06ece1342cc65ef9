"""What stands before the functions and the bucket: function URLs and S3's REST endpoint, with IAM and SigV4."""
