//! Log files of instances.
