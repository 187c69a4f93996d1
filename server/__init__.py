"""The service: REST API and dashboard over a store. Knows records and the store, never the SDK."""
