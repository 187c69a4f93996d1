"""The service: a REST API and a dashboard on top of a store. It uses records and the store, never the SDK."""
