/**
 * node:http without `import`, which would read every export of it: behind `WebSocket` and its like lies the whole of Node's own
 * fetch, and to load that takes as long as to start Node.
 */
export const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http')
