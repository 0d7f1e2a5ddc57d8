/** Environment that a relay's process is started with; see `node24.js`. */
export const MEMORY_ENVIRONMENT: Readonly<Record<string, string>>;
