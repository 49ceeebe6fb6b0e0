/** What clients act on when they hear it, so that what they do next comes behind it. */
export const ANNOUNCEMENTS = /^notifications\/(?:.*\/)?(?:list_changed|updated|acknowledged|status|complete)$/
