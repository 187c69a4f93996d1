"""The recorder: follows journals into a store, local or over HTTP. One per host, user and store."""
