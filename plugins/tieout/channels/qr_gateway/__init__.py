"""The bill of a gateway for QR payments."""
