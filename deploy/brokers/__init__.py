"""What the brokers of every stack with real servers are set to: one copy of each value, whoever writes it down."""
