// The head that the points of a mesh belong to.
#pragma once

#include "faces/points.h"

namespace cavsync {

// The points in the axes and the unit of the mean head of the training faces, one unit wide between the outer corners
// of the eyes: where a head is, how large and how it is turned changes nothing (least squares over points that speaking
// hardly moves; Umeyama 1991).
MeshPoints frontal(const MeshPoints& points);

}  // namespace cavsync
