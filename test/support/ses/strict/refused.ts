import { SesError } from '../ses-error.ts';

/** "The input you provided is invalid" (SES API v2 reference, "SendEmail", BadRequestException). */
export function badRequest(message: string): SesError {
  return new SesError(400, 'BadRequestException', message);
}

/** The first that is wrong, in the order given; null where nothing is. */
export function firstFault(checks: Iterable<() => string | null>): string | null {
  for (const check of checks) {
    const fault = check();
    if (fault !== null) return fault;
  }
  return null;
}
