/** The fixture over stdio, which says on stderr when it is about to end in good order: `fixture ended`. */
process.once('exit', () => void process.stderr.write('fixture ended\n'))
await import('../fixtures/servers/stdio-server.ts')
