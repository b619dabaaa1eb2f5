"""What every room may know: settings, errors, money, masks, people, progress."""
