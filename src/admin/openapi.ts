import { VERSION } from '../version.ts'
import { SCHEMAS } from './openapi-schemas.ts'

type Part = Readonly<Record<string, unknown>>

/** An answer as JSON, by the name of its schema. */
function json(description: string, schema: string, headers?: Part): Part {
  return {
    description,
    ...(headers && { headers }),
    content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } }
  }
}

function problem(description: string): Part {
  const schema = { $ref: '#/components/schemas/Problem' }
  return { description, content: { 'application/problem+json': { schema } } }
}

const FORBIDDEN = problem('Host or Origin is foreign')
const UNAUTHORIZED = problem('No token, or not the one')

/** What every answer to a request with a token may be instead. */
const GUARDED = { 401: UNAUTHORIZED, 403: FORBIDDEN }

function parameter(name: string, description: string, schema: Part): Part {
  return { name, in: 'query', description, schema }
}

const DURATION = { type: 'string', pattern: '^\\d+(\\.\\d+)?(ms|s|m|h)?$', examples: ['30s'] }

const PATHS = {
  '/livez': {
    get: {
      operationId: 'livez',
      summary: 'The process runs and answers',
      security: [],
      responses: { 200: json('It does', 'Alive'), 403: FORBIDDEN }
    }
  },
  '/readyz': {
    get: {
      operationId: 'readyz',
      summary:
        'Clients may be sent here: every route has a target that is not known to be down, a store that is shared does its work, and nothing is draining',
      description: 'Without a token: yes or no. With it: also the state of each route and of the store, and why.',
      security: [{}, { bearer: [] }, { header: [] }],
      responses: { 200: json('They may', 'Readiness'), 503: json('They may not', 'Readiness'), 403: FORBIDDEN }
    }
  },
  '/metrics': {
    get: {
      operationId: 'metrics',
      summary: "All metrics in Prometheus's text format",
      responses: {
        200: { description: 'The numbers', content: { 'text/plain': { schema: { type: 'string' } } } },
        404: problem('No metrics are kept'),
        ...GUARDED
      }
    }
  },
  '/openapi.json': {
    get: {
      operationId: 'openapi',
      summary: 'This document',
      responses: {
        200: { description: 'OpenAPI 3.1', content: { 'application/json': { schema: { type: 'object' } } } },
        ...GUARDED
      }
    }
  },
  '/api/status': {
    get: {
      operationId: 'status',
      summary: 'What runs here, and how each route and target is doing',
      responses: { 200: json('The state at this moment', 'Status'), ...GUARDED }
    }
  },
  '/api/sessions': {
    get: {
      operationId: 'sessions',
      summary: 'Sessions that this process holds, oldest first, in pages',
      parameters: [
        parameter('limit', 'Sessions on a page.', { type: 'integer', minimum: 1, maximum: 1000, default: 100 }),
        parameter('cursor', 'From the page before.', { type: 'string' }),
        parameter('route', 'Only those of this route.', { type: 'string' })
      ],
      responses: { 200: json('A page', 'Sessions'), 400: problem('A parameter makes no sense'), ...GUARDED }
    }
  },
  '/api/sessions/{handle}': {
    delete: {
      operationId: 'endSession',
      summary: 'Ends a session, at the client and at the server',
      parameters: [
        {
          name: 'handle',
          in: 'path',
          required: true,
          schema: { type: 'string' },
          description: 'As logs and lists name it.'
        }
      ],
      responses: {
        204: { description: 'No client can use it any more' },
        404: problem('No session goes by this handle'),
        ...GUARDED
      }
    }
  },
  '/api/drain': {
    get: {
      operationId: 'drainProgress',
      summary: 'How far the drain is',
      responses: { 200: json('Its progress', 'Drain'), ...GUARDED }
    },
    post: {
      operationId: 'drain',
      summary: 'Takes nothing new, and lets what is in flight finish',
      description: 'Where a drain goes on already, nothing changes. It cannot be taken back.',
      parameters: [
        parameter('timeout', 'How long calls in flight may take.', DURATION),
        parameter('grace', 'From "not ready" until nothing new is accepted.', DURATION)
      ],
      responses: {
        202: json('It goes on', 'Drain', {
          Location: { schema: { type: 'string' }, description: 'Where to see how far it is.' }
        }),
        400: problem('A parameter makes no sense'),
        ...GUARDED
      }
    }
  }
}

/** All that the admin listener does. Any path also answers HEAD where it answers GET, OPTIONS, and 405 with Allow to the rest. */
export const OPENAPI = {
  openapi: '3.1.0',
  info: {
    title: 'catflap admin',
    version: VERSION,
    description: 'What operators ask of a running catflap. Requests have no body: one that has gets 413.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }
  },
  servers: [{ url: '/' }],
  security: [{ bearer: [] }, { header: [] }],
  paths: PATHS,
  components: {
    securitySchemes: {
      bearer: { type: 'http', scheme: 'bearer' },
      header: { type: 'apiKey', in: 'header', name: 'Catflap-Token' }
    },
    schemas: SCHEMAS
  }
}
