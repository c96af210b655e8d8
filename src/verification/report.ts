/** What a verification says: plain data, the same in the page, on the command line and as JSON. */

/** One tensor against its reference. */
export interface TensorReport {
  readonly name: string;
  /** `max abs`: largest absolute difference; `L2`: its norm; `rel L2`: that over the reference's norm; `order`: see note. */
  readonly metric: 'max abs' | 'L2' | 'rel L2' | 'order';
  readonly error: number;
  /** PyTorch's own float32 error by the same measure, where the file records it. */
  readonly torch: number | null;
  readonly limit: number;
  readonly ok: boolean;
  /** What the error is a distance from. Some files hold PyTorch's float32 result only. */
  readonly against: 'float64' | 'float32';
  readonly note?: string;
}

/** `later`: nothing was checked, because the part of Backdrop that the case needs does not exist; never a pass. */
export type CaseStatus = 'pass' | 'fail' | 'later';

export interface CaseReport {
  readonly name: string;
  readonly status: CaseStatus;
  /** Why it is `later`, or what went wrong before anything could be compared. */
  readonly reason?: string;
  readonly tensors: readonly TensorReport[];
}

export interface FileReport {
  readonly file: string;
  readonly kind: string;
  /** Model name, where it is a model's file. */
  readonly model?: string;
  readonly cases: readonly CaseReport[];
}

/** Cases by status, and tensors compared. */
export function count(report: FileReport): Record<CaseStatus, number> & { tensors: number } {
  const of = (status: CaseStatus) => report.cases.filter((c) => c.status === status).length;
  return {
    pass: of('pass'),
    fail: of('fail'),
    later: of('later'),
    tensors: report.cases.reduce((sum, c) => sum + c.tensors.length, 0),
  };
}

/** A case passes when something was compared and all of it agrees. */
export function caseReport(name: string, tensors: readonly TensorReport[]): CaseReport {
  if (tensors.length === 0) return { name, status: 'fail', reason: 'the case holds nothing to compare', tensors };
  return { name, status: tensors.every((t) => t.ok) ? 'pass' : 'fail', tensors };
}
