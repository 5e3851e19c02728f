"""What people read: folds over the event stream."""
