//! The way back. (Being written.)
