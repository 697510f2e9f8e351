"""Any web server of one's own: each message as a signed POST."""
