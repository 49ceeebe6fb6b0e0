/** How fast a tape of many recordings is searched. */
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { RARE, TENTH, writeLargeTape } from '../load/large-tape.ts'
import { type Scenario, THROUGHPUT } from './scenario.ts'

const METHODS: Readonly<Record<string, string>> = { 'catflap-tape-rare': RARE, 'catflap-tape-tenth': TENTH }

/** What the tape of this run is, once it is written. */
const tapes = new Map<string, Awaited<ReturnType<typeof writeLargeTape>>>()

export const tapeShow: Scenario = {
  name: 'tape-show',
  title: 'One method of a large tape',
  says:
    '`catflap tape show --method` over a tape of 1 GB, from the start of the process to its end: frames of 200 bytes to 20 KB of 20 sessions. One method has one ' +
    'call in 5,000, the other one in ten. Memory is the most that the process ever had. The tape was just written: the disk is not what is measured.',
  metrics: [THROUGHPUT, { key: 'peak', label: 'memory at most, MB', digits: 0, better: 'less' }],
  base: 'catflap-tape-rare',
  peers: Object.keys(METHODS),
  front: 'http',
  fresh: true,
  server: async ({ plan, folder }) => {
    const file = path.join(folder, 'large.tape.jsonl')
    const url = pathToFileURL(file).href
    tapes.set(folder, await writeLargeTape(file, plan.tape))
    return { target: { url } }
  },
  open: async (peer, kind, { folder }) => {
    const { bytes, frames } = tapes.get(folder)!
    const wanted = frames[METHODS[kind.twinOf ?? kind.name]!]
    if (peer.lines !== wanted) throw new Error(`it showed ${peer.lines} frames of ${wanted}`)
    const peak = peer.rss()
    const mb = bytes / 1e3 / peer.startedIn
    return { round: async () => ({ mb, ...(peak !== undefined && { peak: peak / 1e6 }) }) }
  }
}
