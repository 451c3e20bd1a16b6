#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rollout_fuzz::route53::target::run(bytes));
