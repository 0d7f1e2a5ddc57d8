import { inTime } from '../http/dependency-checks.ts';
import { explainDatabaseError } from '../postgres/explain.ts';
import { CHECKS } from './checks.ts';
import { type DoctorCheck, type DoctorParts, type Finding, failed, skipped } from './finding.ts';

/** What one check found. */
export interface CheckReport {
  readonly check: string;
  readonly milliseconds: number;
  readonly findings: readonly Finding[];
}

export interface ExamineOptions {
  /** Milliseconds that one check may take, once those that it needs have ended. */
  readonly timeLimit: number;
  /** Which checks are made; all unless given. */
  readonly isWanted?: (name: string) => boolean;
  /** The checks there are, in the order of their reports; the installation's unless given. */
  readonly checks?: readonly DoctorCheck[];
}

/** Looks at all parts of an installation side by side. Never rejects: a check that throws, or takes too long, has failed. */
export async function examine(
  parts: DoctorParts,
  { timeLimit, isWanted = () => true, checks = CHECKS }: ExamineOptions,
): Promise<CheckReport[]> {
  const wanted = checks.filter(({ name }) => isWanted(name));
  const reports = new Map<string, Promise<CheckReport>>();
  for (const check of wanted) reports.set(check.name, examineOne(check, parts, timeLimit, reports));
  return Promise.all(reports.values());
}

async function examineOne(
  { name, needs, run }: DoctorCheck,
  parts: DoctorParts,
  timeLimit: number,
  reports: ReadonlyMap<string, Promise<CheckReport>>,
): Promise<CheckReport> {
  const before = needs === undefined ? undefined : await reports.get(needs);
  if (before?.findings.some(({ state }) => state === 'failed' || state === 'skipped')) {
    return { check: name, milliseconds: 0, findings: [skipped(name, `it needs what "${needs}" looks at`)] };
  }
  const begin = performance.now();
  let findings: readonly Finding[];
  try {
    findings = await inTime(signal => run(parts, signal), timeLimit)();
  } catch (error) {
    findings = [describeFailure(name, error, timeLimit)];
  }
  return { check: name, milliseconds: Math.round(performance.now() - begin), findings };
}

function describeFailure(name: string, error: unknown, timeLimit: number): Finding {
  if (error instanceof Error && 'code' in error && error.code === 'Timeout') {
    const remedy = 'see whether a firewall or a name that leads nowhere is in the way; --timeout waits longer';
    return failed(name, `it took longer than ${timeLimit / 1000} s`, remedy);
  }
  const known = explainDatabaseError(error);
  if (known !== null) return failed(name, known.what, known.remedy ?? 'see the log of the database');
  return failed(name, error instanceof Error ? error.message : String(error), 'see docs/troubleshooting.md');
}
