//! The whole release. (Being written.)
