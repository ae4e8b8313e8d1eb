//! The whole of `cargo dev`
