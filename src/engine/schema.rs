//! What a schema may say, checked once when it is made.
