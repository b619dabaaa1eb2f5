"""The bills of WeChat Pay."""
