//! Providers of other makers: not only our own stand-ins say that a login counts.

mod canaille;
mod certified;
