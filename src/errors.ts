/**
 * Every failure a caller can meet is a BackdropError: a stable code to search for, what was found and expected in the
 * message, and what to do in the hint. Codes are listed in tests/errors.test.ts and never reused.
 */
export type ErrorCode =
  | 'E_WEBGPU_INSECURE'
  | 'E_WEBGPU_MISSING'
  | 'E_WEBGPU_NO_ADAPTER'
  | 'E_GPU_LIMIT'
  | 'E_GPU_OOM'
  | 'E_GPU_LOST'
  | 'E_GPU_VALIDATION'
  | 'E_GPU_SELF_TEST'
  | 'E_SHAPE'
  | 'E_MODEL_UNKNOWN'
  | 'E_MODEL_CONFIG'
  | 'E_INPUT'
  | 'E_IMAGE'
  | 'E_DATA'
  | 'E_NETWORK'
  | 'E_CKPT_NOT_CHECKPOINT'
  | 'E_CKPT_TRUNCATED'
  | 'E_CKPT_ZIP'
  | 'E_CKPT_CRC'
  | 'E_CKPT_GLOBAL'
  | 'E_CKPT_OPCODE'
  | 'E_CKPT_PICKLE'
  | 'E_CKPT_LIMIT'
  | 'E_CKPT_STORAGE'
  | 'E_CKPT_SHAPE'
  | 'E_CKPT_ARCH'
  | 'E_CKPT_DTYPE'
  | 'E_ST_HEADER'
  | 'E_ST_OVERLAP'
  | 'E_ST_HOLE'
  | 'E_ST_RANGE'
  | 'E_ST_SHAPE'
  | 'E_ST_DTYPE'
  | 'E_ST_DUPLICATE'
  | 'E_FILE_MISSING'
  | 'E_FILE_EXISTS'
  | 'E_FILE_WRITE'
  | 'E_CLI_USAGE'
  | 'E_CHROME_MISSING'
  | 'E_CHROME_CRASHED'
  | 'E_VERIFY'
  | 'E_TRAIN_NAN'
  | 'E_CONFIG'
  | 'E_RUN_LOCKED'
  | 'E_RUN_MISMATCH'
  | 'E_RUN_MISSING';

export interface ErrorOptionsExtra {
  /** What the reader can do next. */
  hint?: string;
  /** Machine-readable facts: names, shapes, limits. */
  details?: Record<string, unknown>;
  cause?: unknown;
}

export class BackdropError extends Error {
  override readonly name = 'BackdropError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: ErrorOptionsExtra = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }

  /** Plain data, for --json and for crossing from the page to Node. */
  toJSON(): { code: ErrorCode; message: string; hint?: string; details: Record<string, unknown> } {
    return { code: this.code, message: this.message, ...(this.hint ? { hint: this.hint } : {}), details: this.details };
  }

  static fromJSON(json: { code: ErrorCode; message: string; hint?: string; details?: Record<string, unknown> }): BackdropError {
    return new BackdropError(json.code, json.message, {
      ...(json.hint ? { hint: json.hint } : {}),
      ...(json.details ? { details: json.details } : {}),
    });
  }
}
