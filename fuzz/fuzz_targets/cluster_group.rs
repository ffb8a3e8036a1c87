#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    samizdat_fuzz::group::group(bytes);
});
