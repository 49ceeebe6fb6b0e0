/** Counted tools over stdio: `node --no-warnings command.ts LEDGER`. Its first line there is its pid; it ends when stdin does. */
import { StdioServerTransport } from '@modelcontextprotocol/server/stdio'
import { CountedServer, note } from './counted-tools.ts'

const ledger = process.argv[2]
if (ledger === undefined) throw new Error('usage: command.ts LEDGER')
note(ledger, { kind: 'child', pid: process.pid })
process.stdin.once('end', () => process.exit(0))
process.stdin.once('error', () => process.exit(0))
process.stdout.on('error', () => process.exit(0))
await new CountedServer(ledger).server.connect(new StdioServerTransport())
