import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import pg from 'pg';
import { createLogger } from '../../src/observability/log.ts';

describe('the log', () => {
  it('shows an error of Postgres without the data that it quotes', () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const error = Object.assign(new pg.DatabaseError('invalid input syntax', 0, 'error'), {
      code: '22P02',
      detail: 'my secret text',
      where: 'JSON data, line 1: "my secret text"',
      internalQuery: "select 'my secret text'",
    });
    createLogger({ level: 'info', format: 'json', destination }).error({ err: error }, 'not stored');
    assert.match(lines.join(''), /22P02/);
    assert.doesNotMatch(lines.join(''), /secret/);
  });
});
