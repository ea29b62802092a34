/* cavsync: audio-visual sync scores of a stream, computed with an exported bundle.
 *
 * Sign (ITU-R BT.1359): audio_offset_ms > 0 means that the audio is early; delay it by that much to repair it.
 *
 * Ownership. `cavsync_bundle_open` and `cavsync_scorer_create` give handles that the caller releases with
 * `cavsync_bundle_close` and `cavsync_scorer_destroy`, in any order: a scorer keeps what it needs of its bundle.
 * Everything that is passed in is copied before a function returns; results are copied into the caller's memory.
 *
 * Threads. A bundle may be shared by scorers in any threads. The functions of one scorer may be called from different
 * threads at the same time: `push_video`, `push_audio` and `process` each wait for a call of the same function, but not
 * for each other. So streaming threads push, which only copies, converts and resizes, while another thread calls
 * `process`, which runs the models. `drop_oldest` and `take_events` wait for none, `flush`, `reset` and `summarise` wait
 * for all of them.
 * A handle must not be in use when it is released.
 *
 * Errors. Functions return a status; on any but CAVSYNC_OK, `cavsync_last_error` of the same thread says in a sentence
 * what was wrong, what was expected and what to do. No exception and no exit crosses this interface. After an error
 * of `push_*`, the scorer stays usable.
 *
 * ABI. Structures that programs fill or that may grow begin with their size, which `cavsync_*_init` sets; fields are only
 * ever added at their end. The library writes no more of a structure than the program's header knows. Structures that
 * are given in arrays (records, faces, events) have no size and never change.
 */
#ifndef CAVSYNC_H
#define CAVSYNC_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define CAVSYNC_API
#else
#define CAVSYNC_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define CAVSYNC_ABI_VERSION 1

typedef enum cavsync_status {
  CAVSYNC_OK = 0,
  CAVSYNC_ERROR_ARGUMENT = 1,    /* a null pointer, a wrong structure size, a wrong order of calls */
  CAVSYNC_ERROR_CONFIG = 2,      /* an option that cannot be used, by itself or with this bundle */
  CAVSYNC_ERROR_BUNDLE = 3,      /* missing, changed or inconsistent bundle, or a model that fails */
  CAVSYNC_ERROR_MEDIA = 4,       /* frames, audio or timestamps that cannot be used */
  CAVSYNC_ERROR_UNSUPPORTED = 5, /* what the Python package computes and this library does not; not given at present */
  CAVSYNC_ERROR_FULL = 6,        /* more was pushed than may wait: call cavsync_scorer_process */
  CAVSYNC_ERROR_MEMORY = 7,
  CAVSYNC_ERROR_INTERNAL = 8 /* a defect of this library */
} cavsync_status;

typedef enum cavsync_state {
  CAVSYNC_UNDETERMINED = 0,
  CAVSYNC_IN_SYNC = 1,
  CAVSYNC_AUDIO_EARLY = 2,
  CAVSYNC_AUDIO_LATE = 3
} cavsync_state;

typedef enum cavsync_path { CAVSYNC_PATH_AUTO = 0, CAVSYNC_PATH_WHOLE = 1, CAVSYNC_PATH_FACE = 2 } cavsync_path;

typedef enum cavsync_pixel_format {
  CAVSYNC_RGB24 = 0,   /* plane 0: R G B, 8 bits each */
  CAVSYNC_BGR24 = 1,   /* plane 0: B G R */
  CAVSYNC_RGBA = 2,    /* plane 0: R G B A; A is ignored */
  CAVSYNC_BGRA = 3,    /* plane 0: B G R A; A is ignored */
  CAVSYNC_YUV420P = 4, /* three planes */
  CAVSYNC_NV12 = 5,    /* two planes */
  CAVSYNC_YUV422P = 6, /* three planes */
  CAVSYNC_YUYV422 = 7, /* plane 0: Y U Y V */
  CAVSYNC_GRAY8 = 8    /* plane 0 */
} cavsync_pixel_format;

/* What YUV numbers mean; the default is what most players assume where nothing is stated. */
typedef enum cavsync_yuv_matrix {
  CAVSYNC_YUV_DEFAULT = 0,
  CAVSYNC_YUV_BT601 = 1,
  CAVSYNC_YUV_BT709 = 2,
  CAVSYNC_YUV_BT2020 = 3
} cavsync_yuv_matrix;

typedef enum cavsync_sample_format { CAVSYNC_F32 = 0, CAVSYNC_S16 = 1 } cavsync_sample_format;

typedef struct cavsync_bundle cavsync_bundle;
typedef struct cavsync_scorer cavsync_scorer;

/* How a bundle is opened. What cannot be used, on this machine or in this build, is CAVSYNC_ERROR_CONFIG: nothing else
 * takes its place. ONNX Runtime computes the audio front end with any engine, and the face path on the CPU. */
typedef struct cavsync_bundle_options {
  size_t size;
  const char* provider; /* execution provider of ONNX Runtime: "cpu", "cuda" or "tensorrt"; NULL: "cpu" */
  int32_t threads;      /* threads inside one operator; 0 lets the runtime choose */
  const char* engine;   /* what computes the encoders, as in `cavsync score --engine`: "onnxruntime", "openvino",
                           "tensorrt", "tensorrt_rtx", one of them with a precision that the bundle has
                           ("openvino:int8"), or "auto": of the bundle's engines those of TensorRT that open here, then
                           those of OpenVINO, as far as this build has them, else ONNX Runtime; NULL: "onnxruntime".
                           OpenVINO computes the ONNX graphs of a bundle without OpenVINO engines */
  int32_t device;       /* number of the GPU of the providers "cuda" and "tensorrt", and of TensorRT engines */
} cavsync_bundle_options;

/* How a stream is scored. A number of 0 stands for the bundle's, or the default named here. */
typedef struct cavsync_options {
  size_t size;
  cavsync_path path;   /* WHOLE judges the whole picture, FACE the faces in it, AUTO both, by the clearer evidence;
                          AUTO means WHOLE for a bundle without a face path */
  const char* profile; /* NULL: "itu-bt1359-detect"; others as in `cavsync score --profile` */
  double early_ms;     /* limits of the profile "custom"; NaN otherwise */
  double late_ms;
  double window_seconds;   /* length of the window of a decision */
  double max_offset_ms;    /* half the search range */
  double frame_rate_hz;    /* frames used per second, at most */
  double hop_ms;           /* step between lags, a multiple of 10 ms */
  double max_lead_seconds; /* how long a frame waits for its audio; 0: 30 s, right for files; live: range + 5 s */
  double group_seconds;    /* frames of so much time are embedded together; 0: 0.64 s */
  int32_t keeps_summary;   /* not 0: collect what cavsync_scorer_summarise needs; memory then grows by 50 bytes a
                              frame and face, and 6 bytes per lag, face and decision step */
  size_t begin_after;      /* so many decisions in a row out of sync on one side begin an event; 0: 2 */
  size_t end_after;        /* so many decisions of another state end it; 0: 3. Undetermined ones count for neither */
  int32_t follows_events;  /* not 0: keep the beginnings and ends of events for cavsync_scorer_take_events, in 40 bytes
                              each until they are taken */
  int32_t adaptive;        /* not 0: begin with a coarse search, then track the peak, and widen where confidence drops;
                              the whole picture only */
} cavsync_options;

/* One picture, shown from the timestamp on. Rows of plane i begin `strides[i]` bytes apart. */
typedef struct cavsync_frame {
  size_t size;
  cavsync_pixel_format format;
  int32_t width;
  int32_t height;
  const uint8_t* planes[4];
  int32_t strides[4];
  cavsync_yuv_matrix yuv_matrix;
  int32_t is_full_range; /* not 0: YUV from 0 to 255 */
} cavsync_frame;

/* One decision about the `window_seconds` that end at `time_seconds`; NaN where a number is unknown. */
typedef struct cavsync_record {
  double time_seconds;
  double window_seconds;
  double audio_offset_ms;
  double offset_resolution_ms;
  double suggested_audio_delay_ms;
  double similarity;
  double confidence;
  cavsync_state state;
  int32_t within_profile; /* 1, 0, or -1 where the state is undetermined */
  cavsync_path path;   /* what the decision rests on: FACE or WHOLE */
  int32_t is_measured; /* 1: the offset is trusted, even where it lies too close to a limit for a state */
  char profile[32];
  char reason[320]; /* why the state is undetermined; empty otherwise */
} cavsync_record;

/* A face of a window or of a whole stream, and how well it is seen: medians over the moments in which it was there. */
typedef struct cavsync_face {
  int32_t track; /* number of the face in the stream, from 0 on; -1 where no face is judged: the rest is then 0 */
  int32_t frame_width; /* the frame in whose pixels the box is */
  int32_t frame_height;
  double left, top, right, bottom; /* the box; it may reach beyond the frame */
  double presence;        /* the mesh's own probability that it is a face */
  double frontality;      /* 1 seen from the front, 0 in profile; less than 0.25 tells nothing */
  double eye_distance_px; /* between the outer corners of the eyes; less than 16 tells nothing */
  double opening_range;   /* how far the lips open and close, in distances between the eyes; they hardly move below 0.04 */
  double steadiness;      /* correlation of each change of the opening with the next; less than 0 jitters; NaN: unknown */
  double share;           /* of the window with the face in it */
} cavsync_face;

/* What ended an event. */
typedef enum cavsync_cause {
  CAVSYNC_CAUSE_DECISIONS = 0,    /* decisions of another state */
  CAVSYNC_CAUSE_UNDETERMINED = 1, /* undetermined ones, after which the fault may go on */
  CAVSYNC_CAUSE_STREAM_ENDED = 2,
  CAVSYNC_CAUSE_NONE = 3 /* it goes on */
} cavsync_cause;

/* A time during which the audio was out of sync; `extreme_ms` is its largest offset, signed. */
typedef struct cavsync_event {
  double start_seconds;
  double end_seconds;
  double extreme_ms;
  cavsync_state state;
  cavsync_cause cause;
} cavsync_event;

typedef enum cavsync_phase { CAVSYNC_EVENT_BEGAN = 0, CAVSYNC_EVENT_ENDED = 1 } cavsync_phase;

/* The beginning or the end of an event of a stream that runs. The event begins at the time of the first decision out of
 * sync and ends at that of the first decision of another state, or of the last decision of the stream; it lasts while
 * decisions are undetermined. Until the end, `event.end_seconds` is NaN and `event.cause` CAVSYNC_CAUSE_NONE. */
typedef struct cavsync_event_change {
  cavsync_event event;
  cavsync_phase phase;
} cavsync_event_change;

/* The verdict on everything that was pushed before the flush. */
typedef struct cavsync_summary {
  size_t size;
  cavsync_record score;
  double early_limit_ms; /* of the profile; NaN where it depends on an unknown frame period */
  double late_limit_ms;
  double duration_seconds;
  double drift_ms_per_minute; /* NaN where there is too little */
  double worst_offset_ms;     /* NaN where no offset is trusted */
  double undetermined_share;
  size_t num_windows;
  size_t num_ignored_frames; /* frames whose timestamp did not advance, or was out of line */
  size_t num_events;
  int32_t is_varying; /* 1: the offset is not constant, so no single delay repairs it */
  double face_share;  /* share of the windows judged by a face */
  int32_t num_faces;  /* the most faces in one frame */
  cavsync_face face;  /* the face that speaks, whichever that is at each time; `track` is the one that does most */
} cavsync_summary;

/* Identification of an opened bundle; the hashes are the first 12 digits of the encoders' SHA-256. */
typedef struct cavsync_bundle_info {
  size_t size;
  char name[208];
  char precision[16];
  char audio_encoder[16];
  char visual_encoder[16];
  int32_t has_faces;
  double window_seconds;
  double decision_step_seconds;
  double max_offset_ms;
  char face_audio_encoder[16]; /* of the face path, as above; empty without one */
  char face_visual_encoder[16];
  char engine[32];   /* what computes the encoders, as in "openvino:int8" */
  char provider[16]; /* of ONNX Runtime, as in "cpu"; empty where another engine computes the encoders */
} cavsync_bundle_info;

/* CAVSYNC_ABI_VERSION of the library; compare it with the header's. */
CAVSYNC_API int cavsync_abi_version(void);
/* Version of the library; of ONNX Runtime, as in "1.31.1". Static strings. */
CAVSYNC_API const char* cavsync_version(void);
CAVSYNC_API const char* cavsync_runtime_version(void);
/* The engines of this build, by number from 0 on ("onnxruntime", "openvino", "tensorrt"), and their versions; NULL after the last.
 * Static strings. */
CAVSYNC_API const char* cavsync_engine_name(size_t number);
CAVSYNC_API const char* cavsync_engine_version(size_t number);
/* Execution providers that ONNX Runtime was built with ("cpu", "cuda", "tensorrt"), likewise. Whether one starts on
 * this machine, opening a bundle shows. */
CAVSYNC_API const char* cavsync_provider_name(size_t number);
/* The calling thread's last error in a sentence, "" if there was none; valid until its next call of this library. */
CAVSYNC_API const char* cavsync_last_error(void);
/* "in_sync", "audio_early", "audio_late" or "undetermined"; a static string. */
CAVSYNC_API const char* cavsync_state_name(cavsync_state state);

CAVSYNC_API void cavsync_frame_init(cavsync_frame* frame);
/* Four structures have grown. These functions are for programs that were built before; by the macros of the same names,
 * programs that are built with this header pass its sizes. */
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
 * faces. `options` may be NULL. ONNX Runtime's builds may send telemetry; it is turned off through the environment variable
 * ORT_DISABLE_TELEMETRY unless that is set. */
CAVSYNC_API cavsync_status cavsync_bundle_open(const char* path, const cavsync_bundle_options* options,
                                               cavsync_bundle** bundle);
CAVSYNC_API void cavsync_bundle_close(cavsync_bundle* bundle);
CAVSYNC_API cavsync_status cavsync_bundle_describe(const cavsync_bundle* bundle, cavsync_bundle_info* info);

/* Make a scorer of one stream. `options` may be NULL. CAVSYNC_ERROR_BUNDLE if it judges faces and their models fail to
 * open. */
CAVSYNC_API cavsync_status cavsync_scorer_create(const cavsync_bundle* bundle, const cavsync_options* options,
                                                 cavsync_scorer** scorer);
CAVSYNC_API void cavsync_scorer_destroy(cavsync_scorer* scorer);

/* Add one picture. Times may have holes, jump and be set back; a single one that is out of line is dropped. */
CAVSYNC_API cavsync_status cavsync_scorer_push_video(cavsync_scorer* scorer, const cavsync_frame* frame,
                                                     double pts_seconds);
/* Add audio of any length, interleaved: `num_samples` of each of `num_channels`, the first one played at `pts_seconds`.
 * Channels are averaged; of two that cancel (opposite phase) the difference is taken. */
CAVSYNC_API cavsync_status cavsync_scorer_push_audio(cavsync_scorer* scorer, const void* samples,
                                                     cavsync_sample_format format, size_t num_samples,
                                                     int32_t num_channels, int32_t sample_rate_hz, double pts_seconds);
/* Compute what is due and copy up to `capacity` decisions, in order; `num_records` is how many. Those that found no
 * room are given by the next call. The results do not depend on when this is called. */
CAVSYNC_API cavsync_status cavsync_scorer_process(cavsync_scorer* scorer, cavsync_record* records, size_t capacity,
                                                  size_t* num_records);
/* The same with `faces[i]`, the face that is judged in the window of `records[i]`, whatever that decision rests on: of
 * several faces the one with the highest confidence. `faces` has the room of `records`. */
CAVSYNC_API cavsync_status cavsync_scorer_process_faces(cavsync_scorer* scorer, cavsync_record* records,
                                                        cavsync_face* faces, size_t capacity, size_t* num_records);
/* Copy up to `capacity` beginnings and ends of events, in order, of a scorer with `follows_events`; `num_changes` is how
 * many. They are those that the decisions given by `process` so far have caused, and the end of an event that is open
 * when the last decision of a flushed stream has been given, or at a reset. So every beginning has an end, unless the
 * scorer is destroyed before. What found no room is given by the next call. */
CAVSYNC_API cavsync_status cavsync_scorer_take_events(cavsync_scorer* scorer, cavsync_event_change* changes,
                                                      size_t capacity, size_t* num_changes);
/* For sources that cannot wait: of what was pushed and not yet taken by `process`, drop the oldest until at most
 * `keep_seconds` of audio, 120 frames for each of these seconds and, where faces are judged, 128 MiB of whole frames are
 * left; `num_dropped` is the number of pieces dropped. What is missing is a hole in the stream. */
CAVSYNC_API cavsync_status cavsync_scorer_drop_oldest(cavsync_scorer* scorer, double keep_seconds, size_t* num_dropped);
/* End the stream: decide the rest, which `cavsync_scorer_process` then gives. A stream shorter than one window gives
 * one decision. Afterwards nothing can be pushed until a reset. */
CAVSYNC_API cavsync_status cavsync_scorer_flush(cavsync_scorer* scorer);
/* Forget the stream; the next push begins a new one. An open event ends; what was not taken can still be. */
CAVSYNC_API cavsync_status cavsync_scorer_reset(cavsync_scorer* scorer);
/* The verdict on the whole of a flushed stream, of a scorer with `keeps_summary`, and up to `capacity` of its events
 * (`summary->num_events` is how many there are; `events` may be NULL with a capacity of 0). */
CAVSYNC_API cavsync_status cavsync_scorer_summarise(cavsync_scorer* scorer, cavsync_summary* summary,
                                                    cavsync_event* events, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
