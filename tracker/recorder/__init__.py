"""The recorder: applies journals to a store or sends them to a server. One per host, user and store."""
