"""The conformance kit: cases that show whether a platform or a device keeps to GB/T 28181."""
