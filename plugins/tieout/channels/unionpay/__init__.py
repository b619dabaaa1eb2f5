"""The files of UnionPay: institution files, merchant files, fixed-width records."""
