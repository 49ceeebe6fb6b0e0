/** What one would write oneself with Node, in programs of their own. */
import { type Built, stripped } from './build.ts'
import { DEFAULT_FORMS_IN, type PeerKind, urlOf } from './peer.ts'
import { startListening } from './process.ts'

/** They stand in the folder of the compiled catflap, with the same packages. */
export function relays(built: Built): PeerKind[] {
  const program = async (name: string, ...args: string[]): ReturnType<PeerKind['start']> => {
    const file = await stripped(name, built.folder)
    return startListening(port => [process.execPath, file, String(port), ...args])
  }
  return [
    {
      name: 'http-proxy-3',
      says: 'the library http-proxy-3 as its README starts it: a new connection to the server for each request',
      fronts: ['http'],
      only: DEFAULT_FORMS_IN,
      start: target => program('http-proxy', 'default', urlOf(target))
    },
    {
      name: 'http-proxy-3-keep-alive',
      says: 'the same with an agent that keeps connections',
      fronts: ['http'],
      start: target => program('http-proxy', 'keep-alive', urlOf(target))
    },
    {
      name: 'relay',
      says: 'a straightforward relay on node:http and undici: buffers the request, writes head and body apart',
      fronts: ['http'],
      start: target => program('relay', 'plain', urlOf(target))
    },
    {
      name: 'bare-relay',
      says: 'the best relay we could write on the same two: parses nothing, maps nothing, limits nothing',
      fronts: ['http'],
      start: target => program('relay', 'bare', urlOf(target))
    }
  ]
}
