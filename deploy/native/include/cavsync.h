/* cavsync: audio-visual sync scores of a stream, computed with an exported bundle.
 *
 * Sign (ITU-R BT.1359): audio_offset_ms > 0 means that the audio is early; delay it by that much to repair it.
 *
 * Ownership. `cavsync_bundle_open` and `cavsync_scorer_create` give handles that the caller releases with
 * `cavsync_bundle_close` and `cavsync_scorer_destroy`, in any order: a scorer keeps what it needs of its bundle. NULL
 * is allowed there. Everything that is passed in is copied before a function returns; results are copied into the
 * caller's memory.
 *
 * Time. Timestamps of frames and of audio are seconds, within 2^40 of 0, on one clock of any origin: what is seen and
 * what is heard at the same time has the same timestamp.
 *
 * Threads. A bundle may be shared by scorers in any threads. The functions of one scorer may be called from different
 * threads at the same time: `push_video`, `push_audio` and `process` each wait for a call of the same function, but not
 * for each other; `process_faces` counts as `process`. So streaming threads push, which only copies, converts and
 * resizes, while another thread calls `process`, which runs the models. `drop_oldest` and `take_events` wait for none,
 * `flush`, `reset` and `summarise` wait for all of them. A handle must not be in use when it is released.
 *
 * Errors. Functions return a status; on any but CAVSYNC_OK, `cavsync_last_error` of the same thread says in a sentence
 * what was wrong, what was expected and what to do. No function throws an exception or ends the process. After any
 * error the handles and counts that a function returns are NULL and 0, even if another of its pointers was NULL; other
 * results are left as they were.
 *
 * Failures. After an error of `push_*`, the scorer stays usable. After an error of a model or of memory in `process` or
 * `flush`, it can only be reset or destroyed: `process` still returns the decisions made before, and then the first
 * error's status and sentence on every call, as `flush` and `summarise` do; nothing pushed is computed. An event that
 * is open then ends at the reset.
 *
 * ABI. Structures that programs fill or that may grow begin with their size, which `cavsync_*_init` sets; use these
 * functions, not memset. Fields are only ever added at their end, and each makes the structure larger. The library
 * reads and writes no more of a structure than the program's header knows. If the program's structure is larger than
 * the library's, the rest of an input must be zero: anything else is an option that this library does not know, and gives
 * CAVSYNC_ERROR_CONFIG; the rest of a result is left as it was. Structures that are passed in arrays (records, faces,
 * events) have no size and never change.
 *
 * Version. CAVSYNC_ABI_VERSION, and with it the name of the shared library, changes when a program that was built with
 * an earlier header would no longer run: when something is removed or changes its meaning or its place. It does not
 * when functions, fields or values are added.
 */
#ifndef CAVSYNC_H
#define CAVSYNC_H

#include "cavsync_types.h"

#if defined(_WIN32)
#define CAVSYNC_API
#else
#define CAVSYNC_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define CAVSYNC_ABI_VERSION 1

/* CAVSYNC_ABI_VERSION of the library; compare it with the header's. */
CAVSYNC_API int cavsync_abi_version(void);
/* Version of the library; of ONNX Runtime, as in "1.31.1". Static strings. */
CAVSYNC_API const char* cavsync_version(void);
CAVSYNC_API const char* cavsync_runtime_version(void);
/* The engines of this build, by number from 0 on ("onnxruntime", "openvino", "tensorrt"), and their versions; NULL after the last.
 * Static strings. */
CAVSYNC_API const char* cavsync_engine_name(size_t number);
CAVSYNC_API const char* cavsync_engine_version(size_t number);
/* Execution providers that ONNX Runtime was built with ("cpu", "cuda", "tensorrt"), by number likewise. Only opening a
 * bundle shows whether one works on this machine. */
CAVSYNC_API const char* cavsync_provider_name(size_t number);
/* The calling thread's last error in a sentence, "" if there was none; valid until its next call of this library. */
CAVSYNC_API const char* cavsync_last_error(void);
/* "in_sync", "audio_early", "audio_late" or "undetermined"; a static string. */
CAVSYNC_API const char* cavsync_state_name(cavsync_state state);

CAVSYNC_API void cavsync_frame_init(cavsync_frame* frame);
/* Four structures have grown. The functions without `_sized` are for programs that were built before; programs that are
 * built with this header pass its sizes through the macros of the same names. */
CAVSYNC_API void cavsync_options_init(cavsync_options* options);
CAVSYNC_API void cavsync_bundle_options_init(cavsync_bundle_options* options);
CAVSYNC_API void cavsync_summary_init(cavsync_summary* summary);
CAVSYNC_API void cavsync_bundle_info_init(cavsync_bundle_info* info);
CAVSYNC_API void cavsync_options_init_sized(cavsync_options* options, size_t size);
CAVSYNC_API void cavsync_bundle_options_init_sized(cavsync_bundle_options* options, size_t size);
CAVSYNC_API void cavsync_summary_init_sized(cavsync_summary* summary, size_t size);
CAVSYNC_API void cavsync_bundle_info_init_sized(cavsync_bundle_info* info, size_t size);
#define cavsync_options_init(options) cavsync_options_init_sized((options), sizeof(cavsync_options))
#define cavsync_bundle_options_init(options) \
  cavsync_bundle_options_init_sized((options), sizeof(cavsync_bundle_options))
#define cavsync_summary_init(summary) cavsync_summary_init_sized((summary), sizeof(cavsync_summary))
#define cavsync_bundle_info_init(info) cavsync_bundle_info_init_sized((info), sizeof(cavsync_bundle_info))

/* Check the bundle folder `path` and open its models; those of the face path are opened with the first scorer that judges
 * faces. `options` may be NULL. ONNX Runtime's builds may send telemetry; the first call turns it off through the
 * environment variable ORT_DISABLE_TELEMETRY, unless that is set. Other threads must not read the environment
 * meanwhile: set the variable yourself, or open the first bundle before they start. */
CAVSYNC_API cavsync_status cavsync_bundle_open(const char* path, const cavsync_bundle_options* options,
                                               cavsync_bundle** bundle);
CAVSYNC_API void cavsync_bundle_close(cavsync_bundle* bundle);
CAVSYNC_API cavsync_status cavsync_bundle_describe(const cavsync_bundle* bundle, cavsync_bundle_info* info);

/* Make a scorer of one stream. `options` may be NULL. CAVSYNC_ERROR_BUNDLE if it judges faces and their models fail to
 * open. */
CAVSYNC_API cavsync_status cavsync_scorer_create(const cavsync_bundle* bundle, const cavsync_options* options,
                                                 cavsync_scorer** scorer);
CAVSYNC_API void cavsync_scorer_destroy(cavsync_scorer* scorer);

/* Add one frame. Times may have gaps, jump and be set back; an isolated outlier is dropped. This function and the next
 * return CAVSYNC_ERROR_FULL, and drop the input, while more than 64 MiB of small frames and audio wait to be computed,
 * or, if faces are judged, more than 256 MiB of whole frames. */
CAVSYNC_API cavsync_status cavsync_scorer_push_video(cavsync_scorer* scorer, const cavsync_frame* frame,
                                                     double pts_seconds);
/* Add audio, interleaved: `num_samples` of each of `num_channels`, the first one played at `pts_seconds`. 1 to 1024
 * channels, 1 kHz to 768 kHz; in one call at most 460.8 million values and, at another rate than 16 kHz, 2^27 samples
 * of 16 kHz (2.3 hours). Channels are averaged; if two cancel (opposite phase), their difference is taken. */
CAVSYNC_API cavsync_status cavsync_scorer_push_audio(cavsync_scorer* scorer, const void* samples,
                                                     cavsync_sample_format format, size_t num_samples,
                                                     int32_t num_channels, int32_t sample_rate_hz, double pts_seconds);
/* Compute what is due and copy up to `capacity` decisions, in order; `num_records` is how many. Decisions that do not
 * fit are returned by the next call. The results do not depend on when this is called. */
CAVSYNC_API cavsync_status cavsync_scorer_process(cavsync_scorer* scorer, cavsync_record* records, size_t capacity,
                                                  size_t* num_records);
/* The same with `faces[i]`, the face that is judged in the window of `records[i]`, whatever that decision rests on: of
 * several faces the one with the highest confidence. `faces` has the room of `records`. */
CAVSYNC_API cavsync_status cavsync_scorer_process_faces(cavsync_scorer* scorer, cavsync_record* records,
                                                        cavsync_face* faces, size_t capacity, size_t* num_records);
/* Copy up to `capacity` beginnings and ends of events, in order, of a scorer with `follows_events`; `num_changes` is
 * how many. They are those that the decisions given by `process` so far have caused, and the end of an event that is
 * open when the last decision of a flushed stream has been given, or at a reset. So every beginning has an end, unless
 * the scorer is destroyed before. What does not fit is returned by the next call. */
CAVSYNC_API cavsync_status cavsync_scorer_take_events(cavsync_scorer* scorer, cavsync_event_change* changes,
                                                      size_t capacity, size_t* num_changes);
/* For sources that cannot wait: of what was pushed and not yet taken by `process`, drop the oldest until at most
 * `keep_seconds` of audio, 120 frames for each of these seconds and, where faces are judged, 128 MiB of whole frames
 * are left; `num_dropped` is the number of frames and audio pieces dropped. They leave a gap in the stream. */
CAVSYNC_API cavsync_status cavsync_scorer_drop_oldest(cavsync_scorer* scorer, double keep_seconds, size_t* num_dropped);
/* End the stream: decide the rest, which `cavsync_scorer_process` then gives. A stream shorter than one window gives
 * one decision, and no summary. Afterwards a push is CAVSYNC_ERROR_ARGUMENT until a reset. */
CAVSYNC_API cavsync_status cavsync_scorer_flush(cavsync_scorer* scorer);
/* Forget the stream; the next push begins a new one. An open event ends; what was not taken can still be. */
CAVSYNC_API cavsync_status cavsync_scorer_reset(cavsync_scorer* scorer);
/* The verdict on the whole of a flushed stream, of a scorer with `keeps_summary`, and up to `capacity` of its events
 * (`summary->num_events` is how many there are; `events` may be NULL with a capacity of 0). Of a stream shorter than
 * one window CAVSYNC_ERROR_MEDIA: the decision that the flush gives is all there is. */
CAVSYNC_API cavsync_status cavsync_scorer_summarise(cavsync_scorer* scorer, cavsync_summary* summary,
                                                    cavsync_event* events, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
