#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rollout_fuzz::sqs::target::run(bytes));
