/** Numbers of errors by which one side knows what the other is (spec 2026-07-28 basic/index, "Error Codes"). */
export const METHOD_NOT_FOUND = -32601
export const HEADER_MISMATCH = -32020
export const MISSING_CAPABILITY = -32021
export const UNSUPPORTED_VERSION = -32022

/** Only servers of the modern era have these. */
export const MODERN_ERRORS: ReadonlySet<unknown> = new Set([HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION])
