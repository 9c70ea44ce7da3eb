//! IndexedDB.
