"""The bills of Alipay."""
