//! A federated-identity authentication broker for package registries.
